"""Everything that uses Ray. The environment variables that Ray reads are set before a module imports it."""

from study.cluster import ray_private as ray_private
