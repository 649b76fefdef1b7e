"""A topology as text: a tree for people, a table, JSON for programs, and a graph for Graphviz."""
