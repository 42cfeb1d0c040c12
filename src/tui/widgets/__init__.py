"""Widgets draw the documents they are shown and post messages about keys and clicks; they call nothing."""
