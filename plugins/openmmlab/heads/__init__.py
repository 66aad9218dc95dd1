"""MMSegmentation's heads that gather context, as mechanisms that stand instead of the FCN head."""
