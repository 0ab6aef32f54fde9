"""Old against new: the gate, committed inputs, the pytest fixture; imports `campaign`.

This file imports nothing: every run of pytest loads the plugin.
"""
