"""Everything that speaks SQL: tables, migrations, hot statements, selectors, reports."""
