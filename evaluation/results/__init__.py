"""Result records, and the tables and pictures stored beside them."""
