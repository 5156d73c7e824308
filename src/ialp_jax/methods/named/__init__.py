"""The methods of this package, one file each: a file's name is its method's. No file here imports another."""
