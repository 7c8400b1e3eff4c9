"""Parts of neural fields that know no MR words."""
