"""Everything that touches Ray. The environment that Ray reads is set before any module here imports it."""

from study.cluster import ray_private as ray_private
