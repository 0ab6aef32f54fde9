"""Old against new: the gate, committed regression inputs, the pytest fixture and plugin; imports `campaign`.

This file imports nothing: every run of pytest loads the plugin.
"""
