"""The documentation's generated parts, and its code blocks, which tests run."""
