"""Former names of config options and Python modules, and what to type instead."""

from collections.abc import Collection

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

# Former key → what to type instead. It is suggested only if the configuration has a key that it sets: MAMP still has a
# `method.alignment`, and MUNet has no `method.variant`.
KEYS = {
    "inference.halve_from": "inference=halved inference.halve_from=<pixels>",
    "inference.square": "inference=square inference.square=<pixels>",
    "inference.upsample": "inference=mamp_ytvos_released",
    **{f"logger.{name}": f"logger.wandb.{name}" for name in ("group", "name", "save_dir")},
    **{f"logger.{name}": f"+logger.wandb.{name}" for name in ("entity", "id", "log_model", "notes", "tags")},
    "method.alignment": "method.variant=released",
    "method.coarse_input": "method.variant=released",
    "method.memory_input": "method.variant=released",
    "method.supervise_frames": "method.variant=released",
    "method.value_encoder": "method.variant=released",
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
    "vosbench.datasets.davis.IMAGE_SUFFIXES": "vosbench.video.formats.FRAME_SUFFIXES",
    "vosbench.datasets.davis.check_annotations": "vosbench.datasets.folders.check_annotations",
    "vosbench.datasets.davis.check_present": "vosbench.datasets.folders.check_present",
    "vosbench.datasets.davis.check_root": "vosbench.datasets.folders.check_root",
    "vosbench.datasets.davis.choose": "vosbench.datasets.folders.choose",
    "vosbench.datasets.davis.cut": "vosbench.datasets.folders.cut",
    "vosbench.datasets.davis.list_images": "vosbench.datasets.folders.list_images",
    "vosbench.datasets.davis.list_masks": "vosbench.datasets.folders.list_masks",
    "vosbench.datasets.davis.read_list": "vosbench.datasets.folders.read_list",
    "vosbench.datasets.davis.scan_video": "vosbench.datasets.folders.scan_video",
    "vosbench.datasets.davis.subfolders": "vosbench.datasets.folders.subfolders",
    "vosbench.datasets.folders.IMAGE_SUFFIXES": "vosbench.video.formats.FRAME_SUFFIXES",
    "vosbench.datasets.video_folder.VideoFile": "vosbench.video.video_file.VideoFile",
    "vosbench.engine": "vosbench.training.module",
    "vosbench.engine.Cosine": "vosbench.training.schedules.Cosine",
    "vosbench.engine.Milestones": "vosbench.training.schedules.Milestones",
    "vosbench.errors": "vosbench.util.errors",
    "vosbench.errors.reported": "vosbench.cli.errors.reported",
    "vosbench.evaluation.davis": "vosbench.evaluation.protocols.davis",
    "vosbench.evaluation.davis_unsupervised": "vosbench.evaluation.protocols.davis_unsupervised",
    "vosbench.evaluation.label_maps": "vosbench.evaluation.predictions.label_maps",
    "vosbench.evaluation.leaderboard": "vosbench.evaluation.board.leaderboard",
    "vosbench.evaluation.leaderboard.Row": "vosbench.evaluation.board.rows.Row",
    "vosbench.evaluation.leaderboard.load": "vosbench.evaluation.board.rows.load",
    "vosbench.evaluation.leaderboard.load_published": "vosbench.evaluation.board.quoted.load_published",
    "vosbench.evaluation.official": "vosbench.evaluation.scoring.official",
    "vosbench.evaluation.pictures": "vosbench.evaluation.results.pictures",
    "vosbench.evaluation.protocols.protocol_named": "vosbench.evaluation.protocols.protocol.protocol_named",
    "vosbench.evaluation.recording": "vosbench.evaluation.results.scoring_run",
    "vosbench.evaluation.records": "vosbench.evaluation.results.records",
    "vosbench.evaluation.records.commit": "vosbench.runs.code.commit",
    "vosbench.evaluation.records.provenance": "vosbench.evaluation.results.provenance.provenance",
    "vosbench.evaluation.records.replace_file": "vosbench.util.files.replace_file",
    "vosbench.evaluation.records.write_tables": "vosbench.evaluation.results.score_tables.write_tables",
    "vosbench.evaluation.region_cache": "vosbench.evaluation.scoring.region_cache",
    "vosbench.evaluation.report": "vosbench.evaluation.board.report",
    "vosbench.evaluation.results.pictures.Picture": "vosbench.evaluation.results.picture_index.Picture",
    "vosbench.evaluation.results.pictures.read_pictures": "vosbench.evaluation.results.picture_index.read_pictures",
    "vosbench.evaluation.results.pictures.worst_frames": "vosbench.evaluation.results.worst_frames.worst_frames",
    "vosbench.evaluation.rle": "vosbench.evaluation.predictions.rle",
    "vosbench.evaluation.scoring.Scores": "vosbench.evaluation.scoring.evaluate.Scores",
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
    "vosbench.ops.affinity.in_place": "vosbench.ops.affinity.window_on_grid",
    "vosbench.ops.cluster.KMeans": "vosbench.ops.kmeans.KMeans",
    "vosbench.ops.cluster.kmeans": "vosbench.ops.kmeans.kmeans",
    "vosbench.ops.matching.readout": "vosbench.ops.matching.global_local_readout",
    "vosbench.option_types": "vosbench.settings.option_types",
    "vosbench.option_types.Positive": "vosbench.settings.options.Positive",
    "vosbench.predictions": "vosbench.inference.prediction_folder",
    "vosbench.predictions.Claim": "vosbench.runs.claims.Claim",
    "vosbench.propagate": "vosbench.inference.propagator",
    "vosbench.propagate.Frame": "vosbench.inference.frame.Frame",
    "vosbench.propagate.Inference": "vosbench.inference.resizing.ShortSide",
    "vosbench.sheets": "vosbench.drawing.sheets",
    "vosbench.sheets.pseudo_label_sheet": "vosbench.drawing.pseudo_label_sheet.pseudo_label_sheet",
    "vosbench.sweep": "vosbench.cli.sweep",
    "vosbench.tasks.draw.Drawer": "vosbench.drawing.drawer.Drawer",
    "vosbench.tasks.predict.Predictor": "vosbench.inference.predictor.Predictor",
    "vosbench.timeline": "vosbench.audit.timeline",
    "vosbench.token_bank": "vosbench.inference.token_bank",
    "vosbench.training_files": "vosbench.training.checkpointing",
    "vosbench.types": "vosbench.contract",
    "vosbench.videos": "vosbench.video.video",
    "vosbench.videos.FolderVideo": "vosbench.video.folder_video.FolderVideo",
    "vosbench.videos.given_masks": "vosbench.video.video.initial_masks",
    "vosbench.viz": "vosbench.drawing.overlays",
    "vosbench.viz.contact_sheet": "vosbench.drawing.contact_sheet.contact_sheet",
    "vosbench.viz.jpeg_bytes": "vosbench.drawing.encoding.jpeg_bytes",
    "vosbench.viz.png_bytes": "vosbench.drawing.encoding.png_bytes",
    "vosbench.viz.write_video": "vosbench.drawing.encoding.write_video",
    "vosbench.wording": "vosbench.util.wording",
    "vosbench.workers": "vosbench.util.workers",
}


def option(group: str, name: str) -> str | None:
    """One line for a former option of a config group that is now another option or a few overrides; else None."""
    new = OPTIONS.get(group, {}).get(name)
    return new and f"{group}={name} is now {new}"


def key(name: str, known: Collection[str]) -> str | None:
    """One line for a former key, if its replacement sets one of the `known` keys, or one below `logger.wandb`; else
    None."""
    new = KEYS.get(name)
    if new is None:
        return None
    place = "logger.wandb" if name.startswith("logger.") else new.split("=")[0]
    return f"{name} is now {new}" if place in known else None


def importable(name: str) -> str | None:
    """One line for a module, or a name in one (`vosbench.memory.FrameMemory`), that has moved; else None."""
    module = name
    while module not in MOVED and "." in module:
        module = module.rpartition(".")[0]
    return f"{name} is now {MOVED[module]}{name[len(module) :]}" if module in MOVED else None
