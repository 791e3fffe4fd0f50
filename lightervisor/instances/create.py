"""Creating instances: from an image of the store or of a source, or empty. Source: LXD, POST /1.0/instances."""

from lightervisor.config import architectures
from lightervisor.db.instances import InstanceRow
from lightervisor.instances.births import BirthActs, Births, Plan, volatile_at_birth
from lightervisor.instances.image_choice import ImageChoice, with_image
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import Image
from lightervisor.model.instance import InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import EPOCH, now
from lightervisor.operations.operations import Run


class Creation:
    """What creating an instance needs."""

    def __init__(self, births: Births, acts: BirthActs, choice: ImageChoice, volumes: InstanceVolumes) -> None:
        self._births, self._acts, self._choice, self._volumes = births, acts, choice, volumes

    def create(self, project: str, post: InstancesPost, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Check a request and start creating the instance.

        Raises Invalid, NotFound or Unsupported for what can be refused at once; the rest is in the operation.
        """
        name = self._births.name(project, post)
        architecture = architectures.name_of(post.architecture) if post.architecture else architectures.own()
        image = self._choice.local(post.source)
        row = InstanceRow(
            project=project,
            name=name,
            architecture=image.architecture if image else architecture,
            created_at=now(),
            last_used_at=EPOCH,
            ephemeral=post.ephemeral,
            description=post.description,
            config={**post.config, **volatile_at_birth("create")},
            devices=post.devices,
            profiles=self._profiles_of(post, image),
        )
        plan = self._births.plan(row)

        async def work(run: Run) -> None:
            async with self._choice.chosen(post.source, image, run) as chosen:
                await self._build(run, plan, chosen)

        return self._acts.start(plan, work, requestor)

    @staticmethod
    def _profiles_of(post: InstancesPost, image: Image | None) -> list[str]:
        if post.profiles is not None:
            return post.profiles
        return list(image.profiles or ["default"]) if image else ["default"]

    async def _build(self, run: Run, plan: Plan, image: Image | None) -> None:
        row, _, pool = plan
        if image is None:
            await self._births.bring(run, plan, lambda: self._volumes.create(pool, row.project, row.name, None))
            return

        async def make() -> None:
            await self._choice.unpack(image, self._volumes.driver(pool), run)
            await self._volumes.create(pool, row.project, row.name, image.fingerprint)

        await self._births.bring(run, plan._replace(row=with_image(row, image)), make)
