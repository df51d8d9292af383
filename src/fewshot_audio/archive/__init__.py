"""Archives: recordings embedded once into an index, searched by example, and answered without embedding again."""
