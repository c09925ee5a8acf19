"""Recorded exchanges of real providers, played through a running gateway and read with the official SDKs."""
