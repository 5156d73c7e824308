"""Fields that earlier versions called otherwise: old flags and files are answered with the new name."""

# The beginning of an old dotted name, and the beginnings that took its place.
_RENAMED: dict[str, tuple[str, ...]] = {
    "pretrain_hyper": ("methods.ialp",),
    "scratch_hyper": ("methods.a2c",),
    "adapt_hyper.weight": ("methods.a_ialp_ap_mixture.weight",),
    "adapt_hyper.anneal": ("methods.a_ialp_ap_mixture.anneal",),
    "adapt_hyper.weight_rate": ("methods.a_ialp_ap_mixture.weight_rate",),
    "adapt_hyper.kappa": ("methods.a_ialp_ap_value.kappa",),
    "adapt_hyper": ("methods.a_ialp_ft", "methods.a_ialp_ap_mixture", "methods.a_ialp_ap_value"),
    "mixture_weight": ("methods.a_ialp_ap_mixture.schedule",),
    "mixture_start": ("methods.a_ialp_ap_mixture.start",),
    "value_start": ("methods.a_ialp_ap_value.start",),
    "preferences.neighbours": ("prior.neighbours",),
    "pretrain.block_rows": ("policy.block_rows",),
    "online.block_rows": ("policy.block_rows",),
}


def new_names(name: str) -> list[str]:
    """What an old dotted name is called now; empty if it was never one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        beginning = ".".join(parts[:length])
        if beginning in _RENAMED:
            return [".".join([new, *parts[length:]]) for new in _RENAMED[beginning]]
    return []
