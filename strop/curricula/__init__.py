"""curricula"""
