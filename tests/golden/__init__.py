"""The golden model against an independent implementation, unit by unit and as a whole."""
