"""The loop on a real marketing funnel: 8,000 leads, 842 of whom became customers."""
