"""What users' own test suites subclass. Nothing in a run imports this package, and it imports no test framework."""
