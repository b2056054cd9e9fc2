"""The Dockerfile for SageMaker: the same as that of the parts except for what SageMaker requires."""

from scripts.build_images import DOCKERFILE, SAGEMAKER_DOCKERFILE


def final_stage(text: str) -> list[str]:
    stage = text.rpartition("FROM ")[2]
    return [line for line in stage.splitlines() if not line.startswith("#")]


def test_image_differs_from_that_of_a_part_in_user_and_program_only() -> None:
    part = final_stage(DOCKERFILE.read_text())
    part.remove("USER 10001:10001")
    part[-1] = 'ENTRYPOINT ["python", "-m", "pantree_recommendation.sagemaker"]'
    assert final_stage(SAGEMAKER_DOCKERFILE.read_text()) == part
