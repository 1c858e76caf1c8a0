"""The command line: `moe-theory verify`, `derive`, `rate`."""
