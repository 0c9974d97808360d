"""What other vision-language models say of regions, as evidence for or against labels."""
