"""Former names of config options and Python modules, and what to type instead."""

# Config group → former option → what to type instead.
OPTIONS = {
    "experiment": {
        "mamp_davis2016": "experiment=mamp/davis2016",
        "mamp_mini": "experiment=mamp/mini",
        "mamp_paper": "experiment=mamp/paper",
        "mamp_released": "method=mamp flow=raft_large method.upsample=released",
        "mamp_ytvos": "experiment=mamp/ytvos",
        "mamp_ytvos_released": "experiment=mamp/ytvos_released",
        "mask_embedding_correspondence": "experiment=mask_embedding/correspondence",
        "mask_embedding_cycle": "experiment=mask_embedding/cycle",
        "mask_embedding_cycle_full": "sweep=mask_embedding/table4f row=cycle_full",
        "mask_embedding_dino": "experiment=mask_embedding/dino",
        "mask_embedding_long": "experiment=mask_embedding/correspondence method.correspondence.short=0",
        "mask_embedding_paper": "experiment=mask_embedding/paper",
        "mask_embedding_photometric": "experiment=mask_embedding/photometric",
        "mask_embedding_photometric_full": "sweep=mask_embedding/table4f row=photometric_full",
        "mask_embedding_released": "experiment=mask_embedding/released",
        "mask_embedding_released_training": "experiment=mask_embedding/released_training",
        "mask_embedding_segmentation": "sweep=mask_embedding/table4a row=segmentation",
        "mask_embedding_short": "experiment=mask_embedding/correspondence method.correspondence.long=0",
        "mask_embedding_small_contrastive": "sweep=mask_embedding/small_table4f row=contrastive",
        "mask_embedding_small_correspondence": "experiment=mask_embedding/small_correspondence",
        "mask_embedding_small_cycle": "sweep=mask_embedding/small_table4f row=cycle",
        "mask_embedding_small_dino": "experiment=mask_embedding/small_dino",
        "mask_embedding_small_full": "experiment=mask_embedding/small_full",
        "mask_embedding_vip": "experiment=mask_embedding/vip",
        "mask_embedding_ytvos": "method=mask_embedding inference.short_side=480",
        "mask_embedding_ytvos_released": "experiment=mask_embedding/ytvos_released",
        "mast": "method=mamp flow=none method.matching=mast method.alignment=mast method.scale=none",
        "munet_davis": "experiment=munet/davis",
        "munet_paper": "experiment=munet/paper",
        "munet_small_davis": "experiment=munet/small_davis",
        "munet_small_static": "experiment=munet/small_static",
        "munet_static": "experiment=munet/static",
        "munet_static_davis": "experiment=munet/static_davis",
        "munet_static_paper": "experiment=munet/static_paper",
        "munet_table4a": "sweep=munet/table4 row=a",
        "munet_table4b": "sweep=munet/table4 row=b",
        "munet_table4c": "sweep=munet/table4 row=c",
        "munet_table4d": "sweep=munet/table4 row=d",
        "munet_table4f": "sweep=munet/table4 row=f",
        "munet_ytvos": "method=munet memory=adaptive memory.rate=0.05",
    },
    "sweep": {
        "flows": "-m flow=none,dis,raft_small",
        "mamp_scale": "-m method.scale=sqrt_c,none",
        "mamp_table3": "sweep=mamp/table3",
        "mamp_table4": "sweep=mamp/table4",
        "mamp_table6": "sweep=mamp/table6",
        "mask_embedding_table4a": "sweep=mask_embedding/table4a",
        "mask_embedding_table4b": "sweep=mask_embedding/table4b",
        "mask_embedding_table4c": "sweep=mask_embedding/table4c",
        "mask_embedding_table4d": "sweep=mask_embedding/table4d",
        "mask_embedding_table4e": "sweep=mask_embedding/table4e",
        "mask_embedding_table4f": "sweep=mask_embedding/table4f",
        "mask_embedding_vip_context": "-m memory.last_n=4,20",
        "munet_memory": "-m memory=stm,adaptive,first_last,previous",
        "munet_table4": "sweep=munet/table4",
    },
    "memory": {
        "first_last_prefilled": "memory=first_last memory.prefilled=true",
        "long": "memory=mamp memory.recent=[]",
        "mamp_ytvos_released": "memory=mamp memory.long=[] memory.max_frames=4",
        "short": "memory=mamp memory.first=false memory.long=[]",
    },
    "flow": {"raft_large_ytvos": "flow=raft_large flow.far=5"},
}

# Former module, or one of its names if they moved to different places → its new location.
MOVED = {
    "vosbench.canvas": "vosbench.drawing.crop_view",
    "vosbench.checkpoint": "vosbench.weights.origin",
    "vosbench.checkpoint.initialise": "vosbench.weights.loading.initialise",
    "vosbench.checkpoint.read": "vosbench.nn.weight_files.read",
    "vosbench.checkpoint.restore": "vosbench.weights.loading.restore",
    "vosbench.configuration": "vosbench.cli.configuration",
    "vosbench.datasets.collage_motion": "vosbench.datasets.collage.motion",
    "vosbench.datasets.collage_photographs": "vosbench.datasets.collage.photographs",
    "vosbench.datasets.collage_scene": "vosbench.datasets.collage.scene",
    "vosbench.datasets.collage_script": "vosbench.datasets.collage.script",
    **{
        f"vosbench.datasets.davis.{name}": f"vosbench.datasets.folders.{name}"
        for name in ("IMAGE_SUFFIXES", "check_annotations", "check_present", "check_root", "choose", "cut")
    },
    **{
        f"vosbench.datasets.davis.{name}": f"vosbench.datasets.folders.{name}"
        for name in ("list_images", "list_masks", "read_list", "scan_video", "subfolders")
    },
    "vosbench.datasets.video_folder.VideoFile": "vosbench.video.video_file.VideoFile",
    "vosbench.engine": "vosbench.training.module",
    "vosbench.engine.Cosine": "vosbench.training.schedules.Cosine",
    "vosbench.engine.Milestones": "vosbench.training.schedules.Milestones",
    "vosbench.errors": "vosbench.util.errors",
    "vosbench.evaluation.davis": "vosbench.evaluation.protocols.davis",
    "vosbench.evaluation.davis_unsupervised": "vosbench.evaluation.protocols.davis_unsupervised",
    "vosbench.evaluation.label_maps": "vosbench.evaluation.predictions.label_maps",
    "vosbench.evaluation.leaderboard": "vosbench.evaluation.board.leaderboard",
    "vosbench.evaluation.official": "vosbench.evaluation.scoring.official",
    "vosbench.evaluation.pictures": "vosbench.evaluation.results.pictures",
    "vosbench.evaluation.recording": "vosbench.evaluation.results.recording",
    "vosbench.evaluation.records": "vosbench.evaluation.results.records",
    "vosbench.evaluation.records.replace_file": "vosbench.util.files.replace_file",
    "vosbench.evaluation.region_cache": "vosbench.evaluation.scoring.region_cache",
    "vosbench.evaluation.report": "vosbench.evaluation.board.report",
    "vosbench.evaluation.rle": "vosbench.evaluation.predictions.rle",
    "vosbench.evaluation.sequence": "vosbench.evaluation.scoring.sequence",
    "vosbench.evaluation.statistics": "vosbench.evaluation.board.statistics",
    "vosbench.evaluation.tables": "vosbench.evaluation.board.tables",
    "vosbench.evaluation.vip": "vosbench.evaluation.protocols.vip",
    "vosbench.evaluation.vos_benchmark": "vosbench.evaluation.protocols.vos_benchmark",
    "vosbench.evaluation.youtube_vos": "vosbench.evaluation.protocols.youtube_vos",
    "vosbench.files": "vosbench.util.files",
    "vosbench.findings": "vosbench.audit.findings",
    "vosbench.flow": "vosbench.nn.optical_flow",
    "vosbench.images": "vosbench.video.images",
    "vosbench.insides": "vosbench.inference.visuals",
    "vosbench.inspection": "vosbench.audit.inspection",
    "vosbench.memory": "vosbench.inference.memory",
    "vosbench.naming": "vosbench.runs.names",
    "vosbench.option_types": "vosbench.cli.option_types",
    "vosbench.option_types.Positive": "vosbench.util.options.Positive",
    "vosbench.predictions": "vosbench.inference.prediction_folder",
    "vosbench.predictions.Claim": "vosbench.runs.claims.Claim",
    "vosbench.propagate": "vosbench.inference.propagator",
    "vosbench.propagate.Frame": "vosbench.inference.frame.Frame",
    "vosbench.propagate.Inference": "vosbench.inference.frame.Inference",
    "vosbench.sheets": "vosbench.drawing.sheets",
    "vosbench.sweep": "vosbench.cli.sweep",
    "vosbench.tasks.predict.Predictor": "vosbench.inference.predictor.Predictor",
    "vosbench.timeline": "vosbench.audit.timeline",
    "vosbench.token_bank": "vosbench.inference.token_bank",
    "vosbench.training_files": "vosbench.training.checkpointing",
    "vosbench.types": "vosbench.contract",
    "vosbench.videos": "vosbench.video.video",
    "vosbench.videos.FolderVideo": "vosbench.video.folder_video.FolderVideo",
    "vosbench.viz": "vosbench.drawing.overlays",
    "vosbench.viz.contact_sheet": "vosbench.drawing.contact_sheet.contact_sheet",
    "vosbench.wording": "vosbench.util.wording",
    "vosbench.workers": "vosbench.util.workers",
}


def option(group: str, name: str) -> str | None:
    """One line for a former option of a config group that is now another option or a few overrides; else None."""
    new = OPTIONS.get(group, {}).get(name)
    return new and f"{group}={name} is now {new}"


def importable(name: str) -> str | None:
    """One line for a module, or a name in one (`vosbench.memory.FrameMemory`), that has moved; else None."""
    module = name
    while module not in MOVED and "." in module:
        module = module.rpartition(".")[0]
    return f"{name} is now {MOVED[module]}{name[len(module) :]}" if module in MOVED else None
