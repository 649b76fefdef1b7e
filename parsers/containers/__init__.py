"""Containers: archives and compressed files, images of memory, and files that hold several tables or trees.

Everything is read in place: nothing is unpacked to disk, and nothing outside of the container is opened.
"""
