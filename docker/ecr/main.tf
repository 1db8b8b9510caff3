# The repository of repository.yaml, in Terraform: `make test-image` keeps the two equal, field by
# field.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.8" # the first with exclusions from immutable tags
    }
  }
}

variable "repository_name" {
  type    = string
  default = "sidecar"
}

variable "pull_role_arn" {
  type        = string
  default     = ""
  description = "An execution role, of another account too, that may pull; empty for none"
}

resource "aws_ecr_repository" "repository" {
  name = var.repository_name
  # A tag names one image for ever; latest and latest-minimal move.
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"

  image_tag_mutability_exclusion_filter {
    filter_type = "WILDCARD"
    filter      = "latest*"
  }

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_ecr_lifecycle_policy" "repository" {
  repository = aws_ecr_repository.repository.name
  policy     = <<-JSON
    {
      "rules": [
        {
          "rulePriority": 1,
          "description": "Untagged images expire after 7 days",
          "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": 7
          },
          "action": { "type": "expire" }
        },
        {
          "rulePriority": 2,
          "description": "The last 30 tagged images are kept",
          "selection": {
            "tagStatus": "tagged",
            "tagPatternList": ["*"],
            "countType": "imageCountMoreThan",
            "countNumber": 30
          },
          "action": { "type": "expire" }
        }
      ]
    }
  JSON
}

resource "aws_ecr_repository_policy" "repository" {
  count      = var.pull_role_arn == "" ? 0 : 1
  repository = aws_ecr_repository.repository.name
  policy     = <<-JSON
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "Pull",
          "Effect": "Allow",
          "Principal": { "AWS": "${var.pull_role_arn}" },
          "Action": [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer"
          ]
        }
      ]
    }
  JSON
}

output "repository_url" {
  value = aws_ecr_repository.repository.repository_url
}

output "repository_arn" {
  value = aws_ecr_repository.repository.arn
}
