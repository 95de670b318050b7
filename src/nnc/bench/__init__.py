"""Measuring models: engines beside each other, and what holds a network back."""
