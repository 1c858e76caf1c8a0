"""Breaking the gridlock: experts from moments without the gate, then the gate by EM, then EM on everything."""
