"""The command line: `iommuman`, a module for each sub-command."""
