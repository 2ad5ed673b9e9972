"""The tables, their migrations, views and roles, and expressions over them."""
