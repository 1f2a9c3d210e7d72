"""The verbs: one function, one file each. A stage takes a value and returns the next; it never reaches back."""
