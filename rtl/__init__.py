"""The accelerator in Amaranth: one file per unit, ``top.py`` joins them."""
