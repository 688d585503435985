"""The verbs of the command line, and what each of them does."""

VERBS = {
    "demo": "train, predict, score and compare on the embedded data set, in minutes on a CPU",
    "doctor": "what this installation has: versions, devices, data sets, free space",
    "check": "list every problem of a data set at once, or try a method's promises",
    "prepare": "write a resized copy of a data set, or the embedded one, to disk",
    "train": "train one method; the same command resumes",
    "annotate": "draw the first mask of a video on a page in the browser",
    "predict": "label maps for a data set, or for any video with an initial mask",
    "evaluate": "score any folder of label maps under a named protocol",
    "benchmark": "predict, evaluate, and measure speed and memory",
    "leaderboard": "tables and a report from the result records of finished runs",
    "draw": "contact sheets of intermediate maps: flow, matches, clusters, pseudo-labels",
    "pack": "a validated submission: a zip of label maps, or COCO RLE",
    "new": "write a working method of one's own, to be changed",
    "export": "a checkpoint's weights as one small file with a model card",
    "completion": "a script that has bash, zsh or fish complete commands",
}
