"""The data pipes that are iterated."""

from flowtorch.utils.data.datapipes.iter.callable import CollatorIterDataPipe as Collator
from flowtorch.utils.data.datapipes.iter.callable import MapperIterDataPipe as Mapper
from flowtorch.utils.data.datapipes.iter.combinatorics import SamplerIterDataPipe as Sampler
from flowtorch.utils.data.datapipes.iter.combinatorics import ShufflerIterDataPipe as Shuffler
from flowtorch.utils.data.datapipes.iter.combining import ConcaterIterDataPipe as Concater
from flowtorch.utils.data.datapipes.iter.combining import DemultiplexerIterDataPipe as Demultiplexer
from flowtorch.utils.data.datapipes.iter.combining import ForkerIterDataPipe as Forker
from flowtorch.utils.data.datapipes.iter.combining import MultiplexerIterDataPipe as Multiplexer
from flowtorch.utils.data.datapipes.iter.combining import ZipperIterDataPipe as Zipper
from flowtorch.utils.data.datapipes.iter.filelister import FileListerIterDataPipe as FileLister
from flowtorch.utils.data.datapipes.iter.fileopener import FileOpenerIterDataPipe as FileOpener
from flowtorch.utils.data.datapipes.iter.grouping import BatcherIterDataPipe as Batcher
from flowtorch.utils.data.datapipes.iter.grouping import GrouperIterDataPipe as Grouper
from flowtorch.utils.data.datapipes.iter.grouping import UnBatcherIterDataPipe as UnBatcher
from flowtorch.utils.data.datapipes.iter.selecting import FilterIterDataPipe as Filter
from flowtorch.utils.data.datapipes.iter.sharding import ShardingFilterIterDataPipe as ShardingFilter
from flowtorch.utils.data.datapipes.iter.streamreader import StreamReaderIterDataPipe as StreamReader
from flowtorch.utils.data.datapipes.iter.utils import IterableWrapperIterDataPipe as IterableWrapper

__all__ = [
    "Batcher",
    "Collator",
    "Concater",
    "Demultiplexer",
    "FileLister",
    "FileOpener",
    "Filter",
    "Forker",
    "Grouper",
    "IterableWrapper",
    "Mapper",
    "Multiplexer",
    "Sampler",
    "ShardingFilter",
    "Shuffler",
    "StreamReader",
    "UnBatcher",
    "Zipper",
]
