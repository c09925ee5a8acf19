"""Long numbers stand beside dollars and token counts: thousands here too, not groups of four."""

THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
