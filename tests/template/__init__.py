"""The template language: reader, expressions, functions, expansion, all without any cloud."""
