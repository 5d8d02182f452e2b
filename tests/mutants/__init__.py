"""Does some test notice when the program is broken? The mutants, and what runs the tests on them: `make mutants`."""
