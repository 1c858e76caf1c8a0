"""The command line: `moe-theory verify`, `refute`, `derive`, `rate`, `snr`, `fit`."""
