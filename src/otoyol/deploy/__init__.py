"""Deployment: fold, export, compare engines, quantise."""
