"""A small CRM whose operations can be called now or deferred, as those of coreBOS' web service.

``taskqueue --app demo_ext.contacts:service work`` executes deferred calls.
"""

from ..app import service
from .operations import make_operations
from .schema import make_tables

operations = make_operations(service)

__all__ = ["make_operations", "make_tables", "operations", "service"]
