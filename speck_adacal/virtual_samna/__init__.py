"""virtual_samna"""
