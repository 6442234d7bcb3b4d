"""Measurements: each file measures one thing and writes its result, with all that is needed to do it again."""
