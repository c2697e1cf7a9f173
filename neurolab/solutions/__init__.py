"""The exercises of each chapter: references, cases, mistakes and hints, kept apart from the text."""
