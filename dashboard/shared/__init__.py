"""Every sentence that a page says, one module a page, and what the pages share.

Plain words for clinicians, stakeholders and operators.
"""
