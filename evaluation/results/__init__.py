"""Result records, and the tables and pictures that lie beside them."""
