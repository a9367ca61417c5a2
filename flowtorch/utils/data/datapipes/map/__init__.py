"""The data pipes that are indexed."""

from flowtorch.utils.data.datapipes.map.callable import MapperMapDataPipe as Mapper
from flowtorch.utils.data.datapipes.map.combinatorics import ShufflerIterDataPipe as Shuffler
from flowtorch.utils.data.datapipes.map.combining import ConcaterMapDataPipe as Concater
from flowtorch.utils.data.datapipes.map.combining import ZipperMapDataPipe as Zipper
from flowtorch.utils.data.datapipes.map.grouping import BatcherMapDataPipe as Batcher
from flowtorch.utils.data.datapipes.map.utils import SequenceWrapperMapDataPipe as SequenceWrapper

__all__ = ["Batcher", "Concater", "Mapper", "SequenceWrapper", "Shuffler", "Zipper"]
