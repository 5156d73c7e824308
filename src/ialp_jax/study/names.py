"""Methods by name. Without JAX: what decides what is run needs no device."""

from typing import Literal, get_args

MethodName = Literal[
    "random", "popular", "table_greedy", "oracle", "a2c", "ialp", "a_ialp_ft", "a_ialp_ap_mixture", "a_ialp_ap_value",
]  # fmt: skip
METHODS: tuple[MethodName, ...] = get_args(MethodName)
FIXED = ("random", "popular", "table_greedy", "oracle")  # policies without a network
PRETRAINED = (
    "ialp",
    "a_ialp_ft",
    "a_ialp_ap_mixture",
    "a_ialp_ap_value",
)  # they start from iALP's parameters
TABLE_METHODS = ("pretraining", "table_greedy", *PRETRAINED)  # they rest on the preference table
