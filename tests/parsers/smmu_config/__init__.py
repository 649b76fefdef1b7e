"""Tests of the configuration language of smmuman."""
