#!/usr/bin/env python
"""Entry point of every management command."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routerone.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
