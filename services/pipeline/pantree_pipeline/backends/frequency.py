"""The frequency service over gRPC."""

from collections.abc import Mapping, Sequence
from datetime import date

import grpc

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree_domain.evidence import ModelName
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.ports import FrequencyAnalyzer, HistoryAnalysis, ItemEvidence
from pantree_runtime.purchase_columns import columns_of


class GrpcFrequencyAnalyzer(FrequencyAnalyzer):
    """Calls the frequency service. Payloads are `ItemFrequency` messages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.FrequencyServiceStub(channel)

    async def analyze(
        self,
        history: PurchaseHistory,
        as_of: date,
        last_days: Mapping[str, date] | None = None,
        stockout_tolerance: float | None = None,
        with_forecasts: bool = False,
    ) -> HistoryAnalysis:
        view = messages.ITEM_FREQUENCY_VIEW_FULL if with_forecasts else messages.ITEM_FREQUENCY_VIEW_BASIC
        request = messages.AnalyzeHistoryRequest(
            purchases=columns_of(history),
            as_of=as_of.isoformat(),
            view=view,
            stockout_tolerance_ratio=stockout_tolerance,
        )
        with translate_part_errors("frequency"):
            response = await self._stub.AnalyzeHistory(request)
        if last_days is not None:
            for item in response.items:
                item.last_date = last_days[item.name].isoformat()
        return HistoryAnalysis(
            items=tuple([ItemEvidence(item.name, item) for item in response.items]),
            model=ModelName(response.model.name, response.model.version),
        )

    async def cadence_changes(
        self, history: PurchaseHistory, as_of: date, names: Sequence[str], stockout_tolerance: float | None = None
    ) -> Sequence[messages.CadenceChange]:
        request = messages.FindCadenceChangesRequest(
            history=messages.AnalyzeHistoryRequest(
                purchases=columns_of(history), as_of=as_of.isoformat(), stockout_tolerance_ratio=stockout_tolerance
            ),
            item_names=names,
        )
        with translate_part_errors("frequency"):
            response = await self._stub.FindCadenceChanges(request)
        return response.changes
