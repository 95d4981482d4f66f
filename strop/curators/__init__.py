"""curators"""
