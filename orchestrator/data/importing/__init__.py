"""Import: runs made elsewhere, read from a file, checked whole, and stored as a sweep that `fit-laws` reads."""
